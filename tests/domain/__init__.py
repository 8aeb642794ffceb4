"""What may happen, told as given, when and then."""
