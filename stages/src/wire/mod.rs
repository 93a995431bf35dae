//! What travels on the bus as JSON: one file per conversation, each value with a `schema` number.
//!
//! JSON Schemas in `deploy/schemas/` are generated from these types, so they are the contract for people
//! who write no Rust. Adding a field is fine; changing the meaning of one raises its `schema`.

pub mod alert;
pub mod commit;
pub mod glimpse;
pub mod intent;
pub mod people;
pub mod relay;
pub mod rollback;
pub mod shard_event;

pub use alert::{AlertEvent, AlertState};
pub use commit::{Anchor, AnchorList, CommitRecord, OwnRecord, SnapshotRef};
pub use glimpse::{Glimpse, Glimpses, PartSeen};
pub use intent::{Delivery, DeliveryState, Folded, Intent, Reason};
pub use people::{Ack, Approve, Change, Close, Freeze, Look, Silence, Unlock};
pub use relay::{Relayed, Source};
pub use rollback::{
    Command, EndCause, Forbidden, LedgerRecord, LedgerState, RollbackEvent, RollbackOutcome,
    RollbackState, Verdict, VerifyRequest, Withdraw, WithdrawKind,
};
pub use shard_event::{
    Axis, Cause, DataFlag, DataGap, Evidence, Notice, ShardEvent, TermSeen, Transition, Verified,
};

/// The `schema` number of every type of this version.
pub const SCHEMA: u32 = 1;
