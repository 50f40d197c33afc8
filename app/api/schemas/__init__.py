"""What may come in and what goes out, field by field."""
