//! What tables have in common.

use sea_orm_migration::prelude::*;

/// The column that numbers rows by itself.
pub(crate) fn id() -> ColumnDef {
    ColumnDef::new("id").big_integer().not_null().auto_increment().primary_key().take()
}

/// A row goes with the row that `column` refers to.
pub(crate) fn foreign_key(table: &str, column: &'static str, to: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .name(format!("fk_{table}_{column}"))
        .from(Alias::new(table), column)
        .to(to, "id")
        .on_delete(ForeignKeyAction::Cascade)
        .take()
}
