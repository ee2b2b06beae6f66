"""How well lips and voice agree, how steady and how sharp: numbers and pictures for users."""
