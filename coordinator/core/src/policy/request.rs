//! What policies see beside the assessment.

use nexusmon_shared::plan::Author;

/// Whose text a plan is, as policies see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorKind {
    Person,
    Token,
    Planner,
    Trigger,
    /// A client of the system's MCP server.
    Mcp,
}

impl AuthorKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Token => "token",
            Self::Planner => "planner",
            Self::Trigger => "trigger",
            Self::Mcp => "mcp",
        }
    }

    pub const fn of(author: &Author) -> Self {
        match author {
            Author::Person(_) => Self::Person,
            Author::Token(_) => Self::Token,
            Author::Planner(_) => Self::Planner,
            Author::Trigger(_) => Self::Trigger,
        }
    }
}

/// Circumstances of a mission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyContext {
    pub author: AuthorKind,
    /// The principal that submits, as text.
    pub principal: String,
    /// A token's rank ceiling; above it is held.
    pub ceiling: Option<nexusmon_shared::rank::Rank>,
    /// Verified runs of the same shape so far; plans by machines are held at C and B below three.
    pub verified_runs: u32,
    /// People who may approve, less the author.
    pub eligible: u32,
}
