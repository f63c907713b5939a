/* SPDX-License-Identifier: MIT
 *
 * Numbers of the formats of .eh_frame_hdr, .eh_frame and DWARF expressions. */
#ifndef SHIM_CFI_FORMAT_H
#define SHIM_CFI_FORMAT_H

enum { /* pointer encodings of .eh_frame */
       PE_ABSOLUTE = 0x00,
       PE_UDATA2 = 0x02,
       PE_UDATA4 = 0x03,
       PE_UDATA8 = 0x04,
       PE_SDATA2 = 0x0a,
       PE_SDATA4 = 0x0b,
       PE_SDATA8 = 0x0c,
       PE_FORMAT = 0x0f,
       PE_PCREL = 0x10,
       PE_DATAREL = 0x30,
       PE_BASE = 0x70,
};

enum { /* operations of call frame programs; the first three carry an operand in their low six bits */
       CFA_ADVANCE_LOC = 0x40,
       CFA_OFFSET = 0x80,
       CFA_RESTORE = 0xc0,
       CFA_NOP = 0x00,
       CFA_SET_LOC,
       CFA_ADVANCE_LOC1,
       CFA_ADVANCE_LOC2,
       CFA_ADVANCE_LOC4,
       CFA_OFFSET_EXTENDED,
       CFA_RESTORE_EXTENDED,
       CFA_UNDEFINED,
       CFA_SAME_VALUE,
       CFA_REGISTER,
       CFA_REMEMBER_STATE,
       CFA_RESTORE_STATE,
       CFA_DEF_CFA,
       CFA_DEF_CFA_REGISTER,
       CFA_DEF_CFA_OFFSET,
       CFA_DEF_CFA_EXPRESSION,
       CFA_EXPRESSION,
       CFA_OFFSET_EXTENDED_SF,
       CFA_DEF_CFA_SF,
       CFA_DEF_CFA_OFFSET_SF,
       CFA_VAL_OFFSET,
       CFA_VAL_OFFSET_SF,
       CFA_VAL_EXPRESSION,
       CFA_GNU_ARGS_SIZE = 0x2e,
};

enum { /* operations of expressions */
       OP_DEREF = 0x06,
       OP_CONST1U = 0x08,
       OP_CONST1S,
       OP_CONST2U,
       OP_CONST2S,
       OP_CONST4U,
       OP_CONST4S,
       OP_CONST8U,
       OP_CONST8S,
       OP_CONSTU,
       OP_CONSTS,
       OP_AND = 0x1a,
       OP_MINUS = 0x1c,
       OP_PLUS = 0x22,
       OP_PLUS_UCONST,
       OP_SHL,
       OP_GE = 0x2a,
       OP_LIT0 = 0x30,
       OP_LIT31 = 0x4f,
       OP_BREG0 = 0x70,
       OP_BREG31 = 0x8f,
};

#endif
