"""What all pages share: texts in two languages."""
