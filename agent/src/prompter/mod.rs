// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where a person is asked: the places that `stile-prompt` knows, in the person's own session.
//!
//! A place is an untrusted keyboard. It can refuse or stay silent, it can never approve: what
//! it reads goes to the daemon, which verifies it (promises S2 and S7). Each place takes its
//! dialog away when the future that asks is dropped, and leaves no process behind.

pub mod assuan;
pub mod children;
pub mod choose;
pub mod environment;
pub mod helper;
pub mod notification;
mod object;
pub mod pinentry;
mod question;
pub mod session_bus;
pub mod system_prompter;
pub mod tmux;

pub use choose::{Origin, Places, Session};
pub use environment::Environment;
pub use question::{Deed, Place, Question};
