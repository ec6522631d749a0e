"""The peer without our work: Strawberry and Tortoise as their guides show them, over the tables of the database."""
