"""What can be measured of an adapted generator: one file a metric, and the table that compares methods."""
