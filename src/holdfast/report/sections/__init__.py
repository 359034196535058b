"""The sections of a report's page: what each shows, ready for its template."""
