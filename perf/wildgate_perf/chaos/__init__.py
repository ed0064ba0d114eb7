"""What wildgate promises when something breaks: every request ends in one answer, and the server heals by itself."""
