"""How a query reaches an actor: client API and command line."""
