"""Values of a form or of an API call become a call of `ipl_core`, each written once; tabs and API read them."""
