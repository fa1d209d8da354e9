"""Heavy work off the event path: nothing here knows of topics or of models of people."""
