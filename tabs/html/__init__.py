"""What the tabs show, as HTML, tables and styles. Knows no component, no session and no model."""
