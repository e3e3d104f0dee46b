"""The guide's story on embedded parts: the application, its traffic, its scorers and the services it needs."""
