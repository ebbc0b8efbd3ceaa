// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the prompter calls: our object on the bus.

use std::collections::HashMap;

use tokio::sync::mpsc;
use zbus::fdo::Error;
use zbus::message::Header;
use zbus::names::OwnedUniqueName;
use zbus::{OwnedVariant, interface};
use zeroize::Zeroizing;

/// Calls that may wait to be looked at. The prompter makes one, and waits for our next step.
pub(super) const QUEUE: usize = 4;

/// What the prompter said.
pub(super) enum Said {
    /// It is our turn, or the person has answered.
    Ready {
        /// Empty for our turn; `yes` or `no` from the person.
        reply: String,
        /// Its half of the exchange, with the secret.
        exchange: Zeroizing<String>,
    },
    /// It has ended the prompt.
    Done,
}

/// The object.
pub(super) struct Callback {
    /// The only one who may call.
    pub(super) prompter: OwnedUniqueName,
    /// Where its calls go.
    pub(super) said: mpsc::Sender<Said>,
}

impl Callback {
    fn pass_on(&self, header: &Header<'_>, said: Said) -> Result<(), Error> {
        // The bus writes the sender itself.
        if header
            .sender()
            .is_none_or(|sender| *sender != *self.prompter)
        {
            return Err(Error::AccessDenied("you are not the prompter".to_owned()));
        }
        self.said
            .try_send(said)
            .map_err(|_| Error::LimitsExceeded("nobody waits for this".to_owned()))
    }
}

#[interface(name = "org.gnome.keyring.internal.Prompter.Callback")]
impl Callback {
    async fn prompt_ready(
        &self,
        #[zbus(header)] header: Header<'_>,
        reply: String,
        _properties: HashMap<String, OwnedVariant>,
        exchange: String,
    ) -> Result<(), Error> {
        let exchange = Zeroizing::new(exchange);
        self.pass_on(&header, Said::Ready { reply, exchange })
    }

    async fn prompt_done(&self, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        self.pass_on(&header, Said::Done)
    }
}
