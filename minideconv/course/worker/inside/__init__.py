"""What runs in the student's process and beside it; read by file name, so it imports no other."""
