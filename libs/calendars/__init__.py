"""Calendar questions as pure functions of (calendar, time zone, hours, instant)."""
