"""Installation of every extra alone, at its oldest and newest allowed versions."""
