"""Where traces and their assessments are kept, and what is blacked out before they are."""
