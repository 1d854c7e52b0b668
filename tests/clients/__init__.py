"""Objects as clients of the API hold them; `make test-clients` installs those and runs this."""
