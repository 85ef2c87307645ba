"""What surrounds the steps of any iterator: progress, pace, the guard against NaN, histories and forecasts."""
