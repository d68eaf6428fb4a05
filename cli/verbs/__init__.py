"""One module per verb; each holds `app`, a Typer with that verb's command or commands."""
