/* SPDX-License-Identifier: MIT
 *
 * The program that ran in this process before exec put this one in its place: nobody else may be there to turn its ledger
 * into a report, and shared memory must not fill with the ledgers of a shell script's hundred children. */
#ifndef SHIM_PREDECESSOR_H
#define SHIM_PREDECESSOR_H

/* Writes the reports of this process's earlier images and removes their ledgers. From the constructor. */
void predecessor_report(void);

#endif
