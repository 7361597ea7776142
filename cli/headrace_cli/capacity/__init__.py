"""How many users a quota serves: by formula, and by simulating them before the real gate. Pure; seeds are arguments."""
