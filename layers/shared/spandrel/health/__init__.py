"""What is looked after every minute, and what the last look at each part found."""
