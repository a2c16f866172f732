"""Pages for citizens, staff and volunteers."""
