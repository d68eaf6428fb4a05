"""What closes the way between target and admitted at an instant: law, approval, freezes, windows."""
