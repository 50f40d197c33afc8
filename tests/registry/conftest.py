from tests.db.databases import (
    database,
    database_url,
    empty_url,
    migrated_file,
    migrated_schema,
    sqlite_database,
)

__all__ = ["database", "database_url", "empty_url", "migrated_file", "migrated_schema", "sqlite_database"]
