// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What callers send over the bus.

use crate::bus;

/// The body of a call of `Answer` or of `EnrollConfirm`, in either byte order.
pub(super) fn request(data: &[u8]) {
    for code in bus::fuzz_codes(data) {
        assert!(code.len() <= 64, "a code of {} bytes goes on", code.len());
        crate::verify::fuzz_code(&code);
    }
}
