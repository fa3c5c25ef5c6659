"""What an approval is: values, pure rules and use cases, without I/O of their own."""
