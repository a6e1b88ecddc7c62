"""A Frame -> a picture. `pipeline` joins the stages, which know nothing of each other."""
