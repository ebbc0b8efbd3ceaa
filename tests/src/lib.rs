// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Environment of the end-to-end tests.
