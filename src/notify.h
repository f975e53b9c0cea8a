/* Tells systemd how far a service of Type=notify is: sd_notify(3), without its library. */
#ifndef JOBFORGE_NOTIFY_H
#define JOBFORGE_NOTIFY_H

/* Sends `state` ("READY=1", "STOPPING=1", ...) to the socket of the variable NOTIFY_SOCKET; without that does nothing. */
void notify_send(const char *state);

/* Says that the service is reloading, until it sends READY=1. */
void notify_reloading(void);

#endif
