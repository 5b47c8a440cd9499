//! Queries on time settings and runs.

use entity::{AccountId, Millis, RunId, pause, plan, run};
use plan::{ActiveModel, Column, Entity, Model};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter,
    sea_query::{Expr, ExprTrait, OnConflict, Query, TableRef, Value, ValueTuple},
};

use crate::{
    db::{Tx, unique},
    error::{ErrorCode, Result},
    runs::{Plan, Run},
};

pub(super) async fn find(connection: &impl ConnectionTrait, account: AccountId) -> Result<Option<Plan>> {
    read(Entity::find_by_id(account).one(connection).await?)
}

pub(super) async fn insert(tx: &Tx, account: AccountId, plan: Plan) -> Result<()> {
    let inserted = Entity::insert(row(account, plan)).exec_without_returning(&**tx).await;
    inserted.map(|_| ()).map_err(|error| unique(error, ErrorCode::PlanExists))
}

pub(super) async fn update(tx: &Tx, account: AccountId, plan: Plan) -> Result<()> {
    Entity::update(row(account, plan)).exec_without_returning(&**tx).await?;
    Ok(())
}

pub(super) async fn delete(tx: &Tx, account: AccountId) -> Result<Option<Plan>> {
    let deleted = Entity::delete_many().filter(Column::AccountId.eq(account)).exec_with_returning(&**tx).await?;
    read(deleted.into_iter().next())
}

fn row(account: AccountId, plan: Plan) -> ActiveModel {
    ActiveModel {
        account_id: Set(account),
        total_time: Set(plan.total_time()),
        work_time: Set(plan.work_time()),
        break_time: Set(plan.break_time()),
    }
}

/// A row that is no plan was not written by us: that is an internal error, not the caller's.
fn read(row: Option<Model>) -> Result<Option<Plan>> {
    let plan = row.map(|row| Plan::new(row.total_time.into(), row.work_time.into(), row.break_time.into()));
    plan.transpose().map_err(|error| anyhow::anyhow!("a stored time setting is not valid: {error}").into())
}

pub(super) async fn insert_run(tx: &Tx, account: AccountId, plan: Plan, now: Millis) -> Result<run::Model> {
    let row = run::ActiveModel {
        account_id: Set(account),
        total_time: Set(plan.total_time()),
        work_time: Set(plan.work_time()),
        break_time: Set(plan.break_time()),
        started_at: Set(now),
        settled_to: Set(now),
        seen_at: Set(now),
        ..Default::default()
    };
    let inserted = run::Entity::insert(row).exec_with_returning(&**tx).await;
    inserted.map_err(|error| unique(error, ErrorCode::TimerRunning))
}

pub(super) async fn update_run(tx: &Tx, run: run::Model) -> Result<()> {
    let row = run.into_active_model().reset_all();
    run::Entity::update(row).exec_without_returning(&**tx).await?;
    Ok(())
}

/// How far many runs are written, in one statement.
pub(super) async fn update_settled(tx: &Tx, runs: &[run::Model]) -> Result<()> {
    if runs.is_empty() {
        return Ok(());
    }
    let rows = runs.iter().map(|run| {
        let due = run.due_at.map(|at| at.0);
        [Value::from(run.id.0), run.settled_to.0.into(), run.seen_at.0.into(), due.into()].into()
    });
    // Both databases name the columns of a list of values so.
    let update = Query::update()
        .table(run::Entity)
        .from(TableRef::ValuesList(rows.map(ValueTuple::Many).collect(), "settled".into()))
        .value(run::Column::SettledTo, Expr::col(("settled", "column2")))
        .value(run::Column::SeenAt, Expr::col(("settled", "column3")))
        .value(run::Column::DueAt, Expr::col(("settled", "column4")))
        .and_where(Expr::col((run::Entity, run::Column::Id)).equals(("settled", "column1")))
        .to_owned();
    tx.execute(&update).await?;
    Ok(())
}

/// The pause that lasts is over at `now`.
pub(super) async fn insert_pause(tx: &Tx, run: &Run, now: Millis) -> Result<()> {
    let Some(from_at) = run.row.paused_at else { return Ok(()) };
    let row = pause::ActiveModel { run_id: Set(run.row.id), from_at: Set(from_at), to_at: Set(now) };
    // One that had no length may be followed by another in the same millisecond.
    let same = OnConflict::columns([pause::Column::RunId, pause::Column::FromAt])
        .update_column(pause::Column::ToAt)
        .to_owned();
    pause::Entity::insert(row).on_conflict(same).exec_without_returning(&**tx).await?;
    Ok(())
}

/// The owner of a run was there at `now`.
pub(super) async fn update_seen(tx: &Tx, run: RunId, now: Millis) -> Result<()> {
    run::Entity::update_many()
        .col_expr(run::Column::SeenAt, Expr::value(now.0))
        .filter(run::Column::Id.eq(run))
        .filter(run::Column::SeenAt.lt(now))
        .exec(&**tx)
        .await?;
    Ok(())
}
