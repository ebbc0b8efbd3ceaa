/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A PAM module that does what its first argument says. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <security/pam_modules.h>

static int converse(pam_handle_t *pamh, int style, const char *text)
{
	const struct pam_conv *conv = NULL;
	struct pam_message message = { style, text };
	const struct pam_message *messages = &message;
	struct pam_response *response = NULL;
	int result = pam_get_item(pamh, PAM_CONV, (const void **)&conv);

	if (result == PAM_SUCCESS)
		result = conv->conv(1, &messages, &response, conv->appdata_ptr);
	if (response != NULL) {
		free(response->resp);
		free(response);
	}
	return result;
}

static int told(pam_handle_t *pamh, const char *text)
{
	return converse(pamh, PAM_TEXT_INFO, text);
}

/* Starts a process that ignores what asks it to end, tells which, and never returns. */
static void hang(pam_handle_t *pamh)
{
	char text[32];
	pid_t child = fork();

	if (child == 0) {
		signal(SIGTERM, SIG_IGN);
		signal(SIGHUP, SIG_IGN);
		for (;;)
			pause();
	}
	snprintf(text, sizeof(text), "%d", (int)child);
	told(pamh, text);
	for (;;)
		pause();
}

/* Tries to say yes over whatever descriptor there is, itself and as another program. */
static int forge(void)
{
	printf("{\"passed\":{}}\n");
	fflush(stdout);
	return system("for fd in 0 1 3 4 5 6 7 8 9; do"
		      " (echo '{\"passed\":{}}' >&$fd) 2>/dev/null; done");
}

/* Tells what surrounds it: limits, and what it can read and has inherited. */
static int look(pam_handle_t *pamh)
{
	struct rlimit core, cpu, files;
	char text[200], byte;
	int inherited = 0;

	getrlimit(RLIMIT_CORE, &core);
	getrlimit(RLIMIT_CPU, &cpu);
	getrlimit(RLIMIT_NOFILE, &files);
	inherited = system("[ -e /proc/self/fd/7 ]") == 0;
	snprintf(text, sizeof(text),
		 "core %ld cpu %ld files %ld dumpable %d inherited %d read %ld leads %d",
		 (long)core.rlim_max, (long)cpu.rlim_max, (long)files.rlim_max,
		 prctl(PR_GET_DUMPABLE), inherited, (long)read(0, &byte, 1),
		 getsid(0) == getpid());
	return told(pamh, text);
}

int pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	const char *order = argc > 0 ? argv[0] : "";
	char text[10001];

	if (strcmp(order, "crash") == 0)
		*(volatile int *)0 = 0;
	if (strcmp(order, "exit") == 0)
		_exit(0);
	if (strcmp(order, "hang") == 0)
		hang(pamh);
	if (strcmp(order, "forge") == 0) {
		forge();
		return PAM_AUTH_ERR;
	}
	if (strcmp(order, "change-user") == 0)
		return pam_set_item(pamh, PAM_USER, "root");
	if (strcmp(order, "look") == 0)
		return look(pamh);
	if (strcmp(order, "chatter") == 0)
		while (told(pamh, "and") == PAM_SUCCESS)
			continue;
	if (strcmp(order, "long") == 0) {
		memset(text, 'x', sizeof(text) - 1);
		text[sizeof(text) - 1] = '\0';
		memcpy(text, "a\033[2J\xff\n", 7);
		return told(pamh, text);
	}
	if (strcmp(order, "radio") == 0)
		return converse(pamh, PAM_RADIO_TYPE, "yes/no");
	if (strcmp(order, "null") == 0)
		return (flags & PAM_DISALLOW_NULL_AUTHTOK) ? PAM_AUTH_ERR : PAM_SUCCESS;
	if (strcmp(order, "max-tries") == 0)
		return PAM_MAXTRIES;
	if (strcmp(order, "unavailable") == 0)
		return PAM_AUTHINFO_UNAVAIL;
	return strcmp(order, "pass") == 0 ? PAM_SUCCESS : PAM_AUTH_ERR;
}

int pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)pamh, (void)flags, (void)argc, (void)argv;
	return PAM_SUCCESS;
}

int pam_sm_acct_mgmt(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	const char *order = argc > 0 ? argv[0] : "";

	(void)flags;
	if (strcmp(order, "change-user") == 0)
		return pam_set_item(pamh, PAM_USER, "root");
	if (strcmp(order, "expired") == 0)
		return PAM_ACCT_EXPIRED;
	if (strcmp(order, "new-password") == 0)
		return PAM_NEW_AUTHTOK_REQD;
	return strcmp(order, "pass") == 0 ? PAM_SUCCESS : PAM_PERM_DENIED;
}
