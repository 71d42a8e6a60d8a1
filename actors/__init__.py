"""What runs where: protocol cores, files, and the Ray actors around them."""
