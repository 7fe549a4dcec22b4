"""What lets other packages keep their data in Rundlet: one module for each, none imported here."""
