//! What can be said of HTTP without a database: the document, and that it names every route once.

use super::*;
