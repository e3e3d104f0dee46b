"""What people say of traces, what that says of the judges, and whether these still say what they said."""
