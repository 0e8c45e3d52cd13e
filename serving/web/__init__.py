"""What every HTTP server here stands behind: connections and bodies that end."""
