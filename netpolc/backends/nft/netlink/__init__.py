"""Messages of nf_tables about netpolc's own tables, written and read without libnftables."""
