"""What model calls cost, and the budgets that they are held to."""
