"""Dogs as sitters of the portrait studio: what is known of one, and how it is drawn."""
