"""Messages of nf_tables: captured ones, real tables, random bytes, answers of a stub."""
