//! The time setting of an account, one each.
//!
//! Promises that the database judges whether there is one already, and that a change is made to the setting that was
//! read. It keeps the setting only; nothing runs.

use entity::AccountId;
use sea_orm::ConnectionTrait;
use serde::Serialize;
use utoipa::ToSchema;

use super::store;
use crate::{
    app::App,
    db::Tx,
    error::{ErrorCode, Result},
    people,
    runs::plan::{Change, Plan},
};

/// A time setting in minutes, as the wire has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields' names are the wire's; rest.md describes them")]
pub struct PlanView {
    #[schema(minimum = 0, maximum = 1440, example = 120)]
    pub total_time: i32,
    #[schema(minimum = 0, maximum = 480, example = 25)]
    pub work_time: i32,
    #[schema(minimum = 0, maximum = 480, example = 5)]
    pub break_time: i32,
}

impl From<Plan> for PlanView {
    fn from(plan: Plan) -> Self {
        Self { total_time: plan.total_time(), work_time: plan.work_time(), break_time: plan.break_time() }
    }
}

/// The setting of `account`, if it has one.
pub async fn find_plan(connection: &impl ConnectionTrait, account: AccountId) -> Result<Option<PlanView>> {
    Ok(find(connection, account).await?.map(PlanView::from))
}

/// The setting of `account` as a plan to run.
pub(super) async fn find(connection: &impl ConnectionTrait, account: AccountId) -> Result<Option<Plan>> {
    store::find(connection, account).await
}

/// Makes the setting of `account`, which must have none.
pub async fn create_plan(app: &App, account: AccountId, plan: Plan) -> Result<PlanView> {
    let tx = app.db.begin().await?;
    // An account that is being deleted must not get one that would outlive it.
    people::lock_one(&tx, account).await?;
    store::insert(&tx, account, plan).await?;
    tx.commit_quietly().await?;
    Ok(plan.into())
}

/// Changes the setting of `account`.
pub async fn change_plan(app: &App, account: AccountId, change: Change) -> Result<PlanView> {
    let tx = app.db.begin().await?;
    // Two partial changes at once must not each be judged against what the other replaces.
    people::lock_one(&tx, account).await?;
    let plan = store::find(&*tx, account).await?.ok_or(ErrorCode::PlanNotFound)?.changed(change)?;
    store::update(&tx, account, plan).await?;
    tx.commit_quietly().await?;
    Ok(plan.into())
}

/// Removes the setting of `account` and answers with what it was.
pub async fn remove_plan(app: &App, account: AccountId) -> Result<PlanView> {
    let tx = app.db.begin().await?;
    let plan = store::delete(&tx, account).await?.ok_or(ErrorCode::PlanNotFound)?;
    tx.commit_quietly().await?;
    Ok(plan.into())
}

/// Removes the setting of `account`, if it has one.
pub async fn remove_in(tx: &Tx, account: AccountId) -> Result<()> {
    store::delete(tx, account).await.map(|_| ())
}
