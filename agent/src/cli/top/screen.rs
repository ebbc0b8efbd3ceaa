// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The terminal while it is a screen, and as it was before afterwards.

use std::io::{self, IsTerminal as _, Stdout};
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::Show;
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use nix::sys::termios::{FlushArg, tcflush};
use ratatui::Frame;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

/// True while the terminal is not as it was.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal of this process. It is as it was once this is dropped: at the end, after an error,
/// and when a signal has dropped what holds it. A panic puts it back before it says anything.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// True if there is a terminal to draw on.
    pub(super) fn is_there() -> bool {
        io::stdout().is_terminal()
    }

    /// Takes the terminal over.
    pub(super) fn open() -> io::Result<Self> {
        let said = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            said(panic);
        }));
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let terminal = execute!(io::stdout(), EnterAlternateScreen)
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        terminal
            .map(|terminal| Self { terminal })
            .inspect_err(|_| restore())
    }

    /// Draws one picture.
    pub(super) fn draw(&mut self, view: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(view).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Once: a second time would move the cursor back over what was said since. There is nothing to be
/// done about a terminal that has gone.
fn restore() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
    // Half of a code that nobody has read must not reach the shell.
    let _ = tcflush(io::stdin(), FlushArg::TCIFLUSH);
    let _ = disable_raw_mode();
}
