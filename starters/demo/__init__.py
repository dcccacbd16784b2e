"""The user stories, played on a stack of their own and checked against what the vendors hold."""
