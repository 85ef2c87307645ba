"""People, as the studio portrays them."""
