"""The engine and the tables: SQLite by default, PostgreSQL for many hosts."""
