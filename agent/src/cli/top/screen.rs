// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The terminal while it is a screen, and as it was before afterwards.

use std::io::{self, IsTerminal as _, Stdout};

use crossterm::cursor::Show;
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use nix::sys::termios::{FlushArg, tcflush};
use ratatui::Frame;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

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
        // From here on whatever fails leaves the terminal as it was.
        let opened = Opened;
        execute!(io::stdout(), EnterAlternateScreen)?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        std::mem::forget(opened);
        Ok(Self { terminal })
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

/// A terminal that was taken over, and has no [`Screen`] yet.
struct Opened;

impl Drop for Opened {
    fn drop(&mut self) {
        restore();
    }
}

/// There is nothing to be done about a terminal that has gone.
fn restore() {
    let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
    // Half of a code that nobody has read must not reach the shell.
    let _ = tcflush(io::stdin(), FlushArg::TCIFLUSH);
    let _ = disable_raw_mode();
}
