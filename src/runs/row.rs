//! A run as REST writes it: the socket's view with instants spelled out.

use entity::Millis;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    clock::rfc3339,
    realtime::protocol::events::{BoundaryView, RunView},
};

/// A timer: its anchor, where it stands at `server_time`, and what comes next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields are RunView's")]
pub struct RunRow {
    pub id: i64,
    pub total_time: i32,
    pub work_time: i32,
    pub break_time: i32,
    #[schema(format = DateTime)]
    pub started_at: String,
    pub state: &'static str,
    /// `work` or `break`; null once ended.
    #[schema(required)]
    pub phase: Option<&'static str>,
    #[schema(required)]
    pub index: Option<i64>,
    pub elapsed_ms: i64,
    #[schema(required, format = DateTime)]
    pub paused_at: Option<String>,
    #[schema(required, format = DateTime)]
    pub ends_at: Option<String>,
    #[schema(required, format = DateTime)]
    pub completes_at: Option<String>,
    pub next: Vec<BoundaryRow>,
    #[schema(required, format = DateTime)]
    pub ended_at: Option<String>,
    #[schema(format = DateTime)]
    pub server_time: String,
}

/// The beginning of a phase to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the fields are BoundaryView's")]
pub struct BoundaryRow {
    pub index: i64,
    pub phase: &'static str,
    #[schema(format = DateTime)]
    pub at: String,
}

fn instant(at: i64) -> String {
    rfc3339(Millis(at))
}

impl From<BoundaryView> for BoundaryRow {
    fn from(view: BoundaryView) -> Self {
        Self { index: view.index, phase: view.phase, at: instant(view.at) }
    }
}

impl From<RunView> for RunRow {
    fn from(view: RunView) -> Self {
        Self {
            id: view.id,
            total_time: view.total_time,
            work_time: view.work_time,
            break_time: view.break_time,
            started_at: instant(view.started_at),
            state: view.state,
            phase: view.phase,
            index: view.index,
            elapsed_ms: view.elapsed_ms,
            paused_at: view.paused_at.map(instant),
            ends_at: view.ends_at.map(instant),
            completes_at: view.completes_at.map(instant),
            next: view.next.into_iter().map(BoundaryRow::from).collect(),
            ended_at: view.ended_at.map(instant),
            server_time: instant(view.server_time),
        }
    }
}
